# What needs no provider: the policies and the lifecycle rules as data. The tests of fhirstore apply this module as it
# stands, judge the policies by the requests of a real server, and compare the rules with `fhirstore lifecycle print`.

variable "bucket" {
  type = string
}

variable "prefix" {
  type = string # "" or "name/"
}

variable "export_days" {
  type    = number
  default = 2
}

variable "archive_after_days" {
  type    = number
  default = null
}

variable "archive_above_bytes" {
  type    = number
  default = 131072
}

variable "archive_class" {
  type    = string
  default = "DEEP_ARCHIVE"
}

locals {
  place = { for name, value in { Prefix = var.prefix } : name => value if value != "" }
  root  = var.prefix == "" ? "/" : var.prefix

  # One predicate stands alone; several stand in `And`.
  tagged = {
    for kind in ["export", "submission"] : kind => {
      for form, predicates in {
        Tag = { Key = "kind", Value = kind }
        And = { Prefix = var.prefix, Tags = [{ Key = "kind", Value = kind }] }
      } : form => predicates if(form == "Tag") == (var.prefix == "")
    }
  }

  history = var.archive_after_days == null ? [] : [{
    ID     = "fhirstore-history@${local.root}"
    Status = "Enabled"
    Filter = {
      And = merge(local.place, {
        Tags                  = [{ Key = "kind", Value = "version" }]
        ObjectSizeGreaterThan = var.archive_above_bytes
      })
    }
    Transitions = [{ Days = var.archive_after_days, StorageClass = var.archive_class }]
  }]
}

# As `fhirstore lifecycle print` has them.
output "rules" {
  value = concat(local.history, [
    {
      ID         = "fhirstore-exports@${local.root}"
      Status     = "Enabled"
      Filter     = local.tagged["export"]
      Expiration = { Days = var.export_days }
    },
    {
      ID         = "fhirstore-submissions@${local.root}"
      Status     = "Enabled"
      Filter     = local.tagged["submission"]
      Expiration = { Days = 180 }
    },
    {
      ID                             = "fhirstore-uploads@${local.root}"
      Status                         = "Enabled"
      Filter                         = { Prefix = var.prefix }
      AbortIncompleteMultipartUpload = { DaysAfterInitiation = 7 }
    },
  ])
}

output "policies" {
  description = "The documents in policies/, by role."
  value = {
    for role in ["server", "worker", "reader", "admin"] :
    role => templatefile("${path.module}/policies/${role}.json", { bucket = var.bucket, prefix = var.prefix })
  }
}
