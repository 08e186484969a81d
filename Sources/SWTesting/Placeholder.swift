enum SWTestingPlaceholder {}
