"""The server: REST under `/api/v1`, live events, web pages. The only place with `async`."""
