output "store" {
  description = "FHIRSTORE_STORE of servers, workers and commands."
  value       = "s3://${aws_s3_bucket.store.id}/${trimsuffix(var.prefix, "/")}"
}

output "policies" {
  description = "The policy of each role, to attach to the roles of instances, tasks or people."
  value       = { for role, policy in aws_iam_policy.role : role => policy.arn }
}

output "service_account_roles" {
  description = "For the annotation eks.amazonaws.com/role-arn of the service accounts."
  value       = { for account, role in aws_iam_role.service_account : account => role.arn }
}

output "kms_key" {
  value = aws_kms_key.store.arn
}
