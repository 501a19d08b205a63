# Credentials come from the environment (AWS_PROFILE, SSO, a role), never from a variable: they would stand in the state.
provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      project     = "evswap"
      environment = var.environment
      managed-by  = "terraform"
    }
  }
}
