"""Parts of the PRM verifier: formats, aggregation, reading, memory, and the vLLM server."""
