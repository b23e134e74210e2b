"""Full configurations at three sizes, and the stages that train them."""
