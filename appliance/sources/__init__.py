"""Recipes: the exact lines each kind of device needs to send its logs here."""
