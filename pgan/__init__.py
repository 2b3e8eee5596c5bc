"""Progressive GAN for chest radiographs: data, networks, training, synthesis and measurements."""
