"""What is true: one folder per noun, plain synchronous code, no framework."""
