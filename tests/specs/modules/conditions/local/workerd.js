export default "worker condition";
