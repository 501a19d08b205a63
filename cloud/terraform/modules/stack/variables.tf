variable "folder" {
  description = "cloud/stack."
  type        = string
}

variable "values" {
  description = "What the placeholders region, account_id and prefix stand for."
  type        = object({ region = string, account_id = string, prefix = string })
}
