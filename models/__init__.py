"""Networks: backbones, heads, and what trains of them."""
