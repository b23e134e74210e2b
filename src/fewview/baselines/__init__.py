"""What the thesis compares SparseFusion with (Tables 2.1 and 5.1-5.3), each as compact as can be, from its paper."""
