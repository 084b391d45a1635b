"""Data that is not the user's: known public datasets and the simulator."""
