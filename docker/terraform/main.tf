# The bucket of one fhirstore: private, encrypted with a key of its own, reached by TLS only, with the lifecycle rules
# that the server counts on, and a policy for each role.

module "documents" {
  source              = "./documents"
  bucket              = var.bucket
  prefix              = var.prefix
  export_days         = var.export_days
  archive_after_days  = var.archive_after_days
  archive_above_bytes = var.archive_above_bytes
  archive_class       = var.archive_class
}

resource "aws_s3_bucket" "store" {
  bucket = var.bucket
  tags   = var.tags

  lifecycle {
    prevent_destroy = true # the only copy of the data, unless you back it up
  }
}

# Off, because the store keeps every version of a resource itself: versions of the bucket would keep what `$purge` and
# `fhirstore tenant remove` must remove for good, and each write of a current.json would be paid for and kept twice.
# `versioning = true` guards against people with too many rights; old objects then go after `noncurrent_days`, and a
# purge is complete only after that.
resource "aws_s3_bucket_versioning" "store" {
  bucket = aws_s3_bucket.store.id

  versioning_configuration {
    status = var.versioning ? "Enabled" : "Disabled"
  }
}

resource "aws_s3_bucket_public_access_block" "store" {
  bucket                  = aws_s3_bucket.store.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "store" {
  bucket = aws_s3_bucket.store.id

  rule {
    object_ownership = "BucketOwnerEnforced" # no ACLs
  }
}

resource "aws_kms_key" "store" {
  description             = "Objects of ${var.bucket}"
  enable_key_rotation     = true
  deletion_window_in_days = 30 # without the key the data is lost
  tags                    = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "store" {
  name          = "alias/${replace(var.bucket, ".", "-")}"
  target_key_id = aws_kms_key.store.key_id
}

resource "aws_s3_bucket_server_side_encryption_configuration" "store" {
  bucket = aws_s3_bucket.store.id

  rule {
    bucket_key_enabled = true # one request to KMS for many objects

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.store.arn
    }
  }
}

resource "aws_s3_bucket_policy" "store" {
  bucket     = aws_s3_bucket.store.id
  depends_on = [aws_s3_bucket_public_access_block.store]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OnlyByTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.store.arn, "${aws_s3_bucket.store.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "OnlyByTls12"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.store.arn, "${aws_s3_bucket.store.arn}/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      },
    ]
  })
}

# Presigned uploads from web pages need CORS; servers and downloads by links do not.
resource "aws_s3_bucket_cors_configuration" "store" {
  count  = length(var.cors_origins) == 0 ? 0 : 1
  bucket = aws_s3_bucket.store.id

  cors_rule {
    id              = "fhirstore-pages@${var.prefix == "" ? "/" : var.prefix}"
    allowed_origins = var.cors_origins
    allowed_methods = ["GET", "HEAD", "POST", "PUT"]
    allowed_headers = ["*"]
    expose_headers  = ["ETag", "Content-Length", "Content-Range", "Accept-Ranges", "x-amz-checksum-sha256"]
    max_age_seconds = 3600
  }
}
