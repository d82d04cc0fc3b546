export default "the other one";
