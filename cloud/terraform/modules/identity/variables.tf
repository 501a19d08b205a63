variable "identity" {
  description = "identity.yaml."
  type = object({
    user_pool = object({
      name                    = string
      domain                  = string
      password_minimum_length = number
      mfa                     = string
      deletion_protection     = bool
    })
    resource_server = object({
      identifier = string
      name       = string
      scopes     = map(string)
    })
    clients = map(object({
      name                 = string
      flow                 = string
      secret               = bool
      scopes               = list(string)
      callback_urls        = list(string)
      access_token_minutes = number
      refresh_token_days   = number
    }))
  })
}

variable "protect_data" {
  description = "Whether deletion_protection counts."
  type        = bool
}
