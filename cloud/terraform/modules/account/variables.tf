variable "prefix" {
  description = "Begins the roles' names."
  type        = string
}

variable "region" {
  description = "Where the account is set up."
  type        = string
}

variable "account_id" {
  description = "Whose logs AWS IoT may write."
  type        = string
}

variable "iot_logging" {
  description = "Whether AWS IoT logs."
  type        = bool
}

variable "log_retention_days" {
  description = "How long AWS IoT's logs are kept."
  type        = number
}
