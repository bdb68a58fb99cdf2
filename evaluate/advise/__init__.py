"""When to stop adding data: a subset grown step by step until the rest cannot matter."""
