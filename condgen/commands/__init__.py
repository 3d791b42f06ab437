"""The commands behind `condgen`: one module each, with `run(argv)`, where argv[0] is the command."""
