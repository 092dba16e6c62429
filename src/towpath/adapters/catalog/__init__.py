"""The catalog in SQL: schema, shared statements, one small file per dialect, migrations."""
