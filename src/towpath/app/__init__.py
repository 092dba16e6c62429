"""Floor 3: settings, wiring, plug-in discovery and the worker loop. The only place that names an adapter."""
