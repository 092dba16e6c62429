"""The faces for programs and browsers: REST, live events, web pages. The only floor where anything is asynchronous."""
