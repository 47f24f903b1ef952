"""The roof of the project: settings, URLs and servers. It puts the apps together and decides nothing itself."""
