"""Programs that run inside the vendor's environments: every workflow that its SDKs have, one step a line.

They know nothing of the server's code. Each step makes its data by a recipe, and where data comes back it is compared
there, in the client, with what the recipe says was sent.
"""
