"""Forms that FASTCore did not design: HTML forms and the webhooks of form builders."""
