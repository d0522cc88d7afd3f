variable "bucket" {
  description = "The name of the bucket."
  type        = string
}

variable "prefix" {
  description = "The prefix in FHIRSTORE_STORE=s3://bucket/prefix, with a slash at its end; empty where there is none."
  type        = string
  default     = ""

  validation {
    condition     = var.prefix == "" || can(regex("^[^/].*/$", var.prefix))
    error_message = "The prefix is empty, or ends with a slash and does not begin with one."
  }
}

variable "name" {
  description = "The beginning of the names of policies and roles."
  type        = string
  default     = "fhirstore"
}

variable "versioning" {
  description = "Whether the bucket keeps overwritten and deleted objects (why not: main.tf)."
  type        = bool
  default     = false
}

variable "noncurrent_days" {
  description = "Days that such objects are kept, with versioning."
  type        = number
  default     = 30
}

variable "export_days" {
  description = "Days after which files of exports expire: FHIRSTORE_EXPORT_EXPIRY in days, and one more."
  type        = number
  default     = 2
}

variable "archive_after_days" {
  description = "Days after which old versions go to an archive class; null: never. Needs `versions` in FHIRSTORE_TAGS."
  type        = number
  default     = null
}

variable "archive_above_bytes" {
  description = "Smaller versions are not archived: to move them would cost more than it saves."
  type        = number
  default     = 131072
}

variable "archive_class" {
  description = "The storage class of archived versions."
  type        = string
  default     = "DEEP_ARCHIVE"
}

variable "cors_origins" {
  description = "Origins of web pages that upload to the bucket directly, as FHIRSTORE_CORS_ORIGINS."
  type        = list(string)
  default     = []
}

variable "cluster" {
  description = "The Kubernetes cluster whose service accounts fhirstore-server and fhirstore-worker get roles."
  type = object({
    oidc_provider_arn = string
    oidc_issuer       = string # without https://
    namespace         = string
  })
  default = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
