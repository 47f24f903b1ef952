"""What a key opens: the workflows of the clients, their data and their doors."""
