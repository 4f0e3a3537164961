"""The models of a plan are made: networks built, loaded or trained; heads and defenses added; all checked."""
