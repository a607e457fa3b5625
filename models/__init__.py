"""Networks: backbones, heads, and the choice of what trains."""
