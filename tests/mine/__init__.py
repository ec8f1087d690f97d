"""The package of a user, whose code goes wrong."""
