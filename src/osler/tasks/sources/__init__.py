"""Where the cases of a task come from: one module a `kind` in task.yaml."""
