"""A domain of the user's own: what is in a file or folder is understood first, and written afterwards."""
