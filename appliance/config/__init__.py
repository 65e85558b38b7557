"""The configuration: model, validation, units. Depends on nothing else in the project."""
