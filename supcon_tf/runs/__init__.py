"""The run folder: what lies where, who may go on in it, and what it came from."""
