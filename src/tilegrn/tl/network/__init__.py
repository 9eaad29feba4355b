"""The network that a trained model holds: edges, their support, knock-outs, regulons."""
