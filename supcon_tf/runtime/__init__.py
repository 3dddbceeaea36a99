"""What a command sets in its process: environment, processor, signals."""
