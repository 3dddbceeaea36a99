"""What the commands share: flags, flagfiles, help, one-line errors, exit codes."""
