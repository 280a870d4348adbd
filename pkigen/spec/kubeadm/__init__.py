"""kubeadm configurations, unchanged, to the model's shape."""
