# A policy for each kind of process. Give a role exactly one of them:
#
#   server  `fhirstore serve`: reads and writes; deletes only what jobs, uploads and the identity index leave behind,
#           never a current.json or a version
#   worker  `fhirstore worker`, `sweep`, and servers with FHIRSTORE_ENABLE_PURGE=true: also deletes versions and events
#           of writers that died, and of purged resources; never a current.json
#   reader  `fhirstore fsck`, `stats`, `ls`, `cat`, and the source of `fhirstore copy`: reads
#   admin   people: `tenant remove`, `fsck --repair`, `lifecycle apply`, `restore`; the only one that deletes current.json

locals {
  kms = {
    writes = ["kms:GenerateDataKey", "kms:Decrypt"] # uploads in parts need Decrypt, too
    reads  = ["kms:Decrypt"]
  }

  # Not in the document: MinIO, which takes the documents as they are, refuses the names of these actions.
  cors = [{
    Sid      = "Cors"
    Effect   = "Allow"
    Action   = ["s3:GetBucketCORS", "s3:PutBucketCORS"]
    Resource = aws_s3_bucket.store.arn
  }]
}

resource "aws_iam_policy" "role" {
  for_each    = module.documents.policies
  name        = "${var.name}-${each.key}"
  description = "What a fhirstore ${each.key} may do with ${var.bucket}"
  tags        = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(jsondecode(each.value).Statement, each.key == "admin" ? local.cors : [], [{
      Sid      = "UseTheKey"
      Effect   = "Allow"
      Action   = each.key == "reader" ? local.kms.reads : local.kms.writes
      Resource = aws_kms_key.store.arn
    }])
  })
}

# Roles for service accounts of a Kubernetes cluster (IRSA), where `cluster` says which one.
resource "aws_iam_role" "service_account" {
  for_each = var.cluster == null ? toset([]) : toset(["server", "worker"])
  name     = "${var.name}-${each.key}"
  tags     = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = var.cluster.oidc_provider_arn }
      Condition = {
        StringEquals = {
          "${var.cluster.oidc_issuer}:aud" = "sts.amazonaws.com"
          "${var.cluster.oidc_issuer}:sub" = "system:serviceaccount:${var.cluster.namespace}:fhirstore-${each.key}"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "service_account" {
  for_each   = aws_iam_role.service_account
  role       = each.value.name
  policy_arn = aws_iam_policy.role[each.key].arn
}
