export default function About() {
  return <h1>About, prerendered</h1>;
}
