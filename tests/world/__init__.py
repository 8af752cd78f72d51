"""A world to break: a provider whose faults are switched on, a control plane that dies on demand, and the truth."""
