variable "buckets" {
  description = "buckets.yaml."
  type = map(object({
    name             = string
    versioning       = bool
    encryption       = string
    object_ownership = string
    tls_only         = bool
    object_lock      = optional(bool, false)
    public_access_block = object({
      block_public_acls       = bool
      ignore_public_acls      = bool
      block_public_policy     = bool
      restrict_public_buckets = bool
    })
    lifecycle = list(object({
      id                           = string
      prefix                       = string
      minimum_bytes                = optional(number)
      transition_days              = optional(number)
      storage_class                = optional(string)
      expiration_days              = optional(number)
      noncurrent_expiration_days   = optional(number)
      abort_incomplete_upload_days = optional(number)
    }))
  }))
}

variable "protect_data" {
  description = "False: destroying a bucket deletes what is in it."
  type        = bool
}

variable "object_lock_days" {
  description = "For buckets whose object_lock is true; 0 is none."
  type        = number
}

variable "tls_only" {
  description = "False where AWS is an emulator that speaks plain HTTP: a bucket's tls_only then does not count."
  type        = bool
}
