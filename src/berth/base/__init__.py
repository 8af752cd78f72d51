"""What any project could use: knows nothing of instances, money owed or providers."""
