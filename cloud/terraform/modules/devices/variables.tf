variable "prefix" {
  description = "Begins the names."
  type        = string
}

variable "thing_type" {
  description = "The type of every station's thing."
  type        = string
}

variable "station_policies" {
  description = "The policies of every station."
  type        = map(object({ name = string, document = string }))
}

variable "greengrass_policy" {
  description = "The second policy of a station that is a Greengrass core."
  type        = string
}

variable "templates" {
  description = "provisioning.yaml, with the templates' bodies and the claims' policies."
  type = map(object({
    name                  = string
    description           = string
    type                  = string
    enabled               = bool
    role                  = string
    body                  = string
    claim_policy          = string
    claim                 = object({ policy_name = string })
    pre_provisioning_hook = object({ function = string, payload_version = string })
  }))
}

variable "role_arns" {
  description = "By key."
  type        = map(string)
}

variable "functions" {
  description = "The functions' names, aliases and the aliases' ARNs, by key."
  type        = map(object({ name = string, alias = string, arn = string }))
}
