# The provider is pinned here and not by a lock file, whose keys are addresses of a registry: see docs/aws.md.
terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}
