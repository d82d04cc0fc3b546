export default "no condition";
