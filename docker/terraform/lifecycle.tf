# The rules of `fhirstore lifecycle print`, under the same ids, so that `fhirstore lifecycle check` agrees. This resource
# owns all rules of the bucket. Where tenants have a retention of their own (FHIRSTORE_TENANT_SETTINGS), delete it here
# and let `fhirstore lifecycle apply` keep the rules.
resource "aws_s3_bucket_lifecycle_configuration" "store" {
  bucket     = aws_s3_bucket.store.id
  depends_on = [aws_s3_bucket_versioning.store]

  dynamic "rule" {
    for_each = module.documents.rules

    content {
      id     = rule.value.ID
      status = "Enabled"

      filter {
        prefix = try(rule.value.Filter.Prefix, null)

        dynamic "tag" {
          for_each = try([rule.value.Filter.Tag], [])

          content {
            key   = tag.value.Key
            value = tag.value.Value
          }
        }

        dynamic "and" {
          for_each = try([rule.value.Filter.And], [])

          content {
            prefix                   = try(and.value.Prefix, null)
            tags                     = { for tag in and.value.Tags : tag.Key => tag.Value }
            object_size_greater_than = try(and.value.ObjectSizeGreaterThan, null)
          }
        }
      }

      dynamic "transition" {
        for_each = try(rule.value.Transitions, [])

        content {
          days          = transition.value.Days
          storage_class = transition.value.StorageClass
        }
      }

      dynamic "expiration" {
        for_each = try([rule.value.Expiration], [])

        content {
          days = expiration.value.Days
        }
      }

      dynamic "abort_incomplete_multipart_upload" {
        for_each = try([rule.value.AbortIncompleteMultipartUpload], [])

        content {
          days_after_initiation = abort_incomplete_multipart_upload.value.DaysAfterInitiation
        }
      }
    }
  }

  dynamic "rule" {
    for_each = var.versioning ? [var.noncurrent_days] : []

    content {
      id     = "noncurrent"
      status = "Enabled"

      filter {
        prefix = var.prefix
      }

      noncurrent_version_expiration {
        noncurrent_days = rule.value
      }
    }
  }
}
