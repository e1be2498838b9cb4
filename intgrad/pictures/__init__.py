"""Pictures of attributions: GradVisualizer, its styles, figures and sliders."""
