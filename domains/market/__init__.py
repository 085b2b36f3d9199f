"""Built-in market domains: price sources, features and label rules."""
