variable "role" {
  description = "One of cloud/stack/roles."
  type        = object({ name = string, description = string, trust = any, policy = any })
}
