export function deep(value) {
  return value.property;
}
