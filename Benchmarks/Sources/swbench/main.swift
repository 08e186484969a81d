print("swbench")
