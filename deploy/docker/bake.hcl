# docker buildx bake --file deploy/docker/bake.hcl
# Images are named like in deploy/k8s: ${REGISTRY}nocode-vision-gateway:${VERSION}, and so on.

variable "REGISTRY" { default = "" }
variable "VERSION" { default = "dev" }
variable "REVISION" { default = "unknown" }

group "default" {
  targets = ["part"]
}

target "part" {
  name       = part
  matrix     = { part = ["gateway", "classification", "detection", "segmentation"] }
  context    = "."
  dockerfile = "deploy/docker/Dockerfile"
  target     = part
  tags       = ["${REGISTRY}nocode-vision-${part}:${VERSION}"]
  args       = { VERSION = VERSION, REVISION = REVISION }
}
