"""The report of a sweep: charts, tables and words that the numbers support."""
